"""Client of Ratoon: an openstacksdk proxy, and `openstack` commands on top of it."""
