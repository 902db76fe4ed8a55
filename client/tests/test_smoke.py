def test_x(openstack, cloud):
    for a in (["list"],["show","fresh"],["tree","web-01"],["restore","--wait","fresh","-f","json"],["restore","--dry-run","fresh"],["show","nope"],["branch","list","web-01"],["branch","restore","web-01","main"],["operation","list"],["operation","show",__import__('fake_cloud').OPERATION]):
        r=openstack("server","snapshot",*a); print(a, r.code); print(r.out); print(r.err)
    for q in cloud.requests: print(q[:3])
