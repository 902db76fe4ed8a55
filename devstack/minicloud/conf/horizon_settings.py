# Goes to Horizon's local_settings.d. The web root stays "/": Debian's compressed assets are built for it.
ALLOWED_HOSTS = ['*']
SECRET_KEY = '@PASSWORD@-not-a-secret'
OPENSTACK_HOST = '127.0.0.1'
OPENSTACK_KEYSTONE_URL = 'http://127.0.0.1:5000/v3'
OPENSTACK_KEYSTONE_DEFAULT_ROLE = 'member'
SESSION_ENGINE = 'django.contrib.sessions.backends.cache'
CACHES = {'default': {'BACKEND': 'django.core.cache.backends.memcached.PyMemcacheCache', 'LOCATION': '127.0.0.1:11211'}}
