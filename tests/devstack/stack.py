"""A DevStack in a folder: runs phases of the plugin, and has commands that only remember what they were asked for."""
import configparser
import os
import pathlib
import shutil
import signal
import subprocess

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
FUNCTIONS = HERE / ('originals.sh' if os.environ.get('RATOON_TEST_DEVSTACK') else 'stubs.sh')
STACK = ['stack pre-install', 'stack install', 'stack post-config', 'stack extra', 'stack test-config']

# What each command does beside noting its call. `note FILE LINE` adds a line that is not there yet.
COMMANDS = {
    'sudo': 'while [[ $1 == -* ]]; do shift; done; exec env AS_ROOT=1 "$@"',
    'apt-get': 'while [ "$1" != install ]; do shift; done; for word in "${@:2}"; do [[ $word == -* ]] || note packages "$word"; done',
    'python3': '[[ $1 == -m && $2 == pip ]] || exec /usr/bin/python3 "$@"',
    'cc': '',
    'cargo': '''case $1 in
        --version) echo "cargo $(cat "$STATE/cargo")" ;;
        build) target=${*: -1}; mkdir -p "$target/release" && cp "$(dirname "$0")/ratoon" "$target/release/ratoon" ;;
        esac''',
    'rustup': 'echo 1.94.0 >"$STATE/cargo"',
    'openstack': '''if [ -e "$STATE/refuses" ]; then exit 1; fi
        case $* in *' create '* | *' add '*) note keystone "$*" ;; esac; echo an-id''',
    'mysql': '''[[ $* != *'DROP DATABASE'* ]] || rm -f "$STATE/databases/ratoon"
        [[ $* != *'CREATE DATABASE ratoon'* ]] || : >"$STATE/databases/ratoon"''',
    'psql': 'rm -f "$STATE/databases/ratoon"',
    'createdb': ': >"$STATE/databases/ratoon"',
    'rabbitmqctl': 'rm "$STATE/queues/$2"',
    'ceph': '''while [ "$1" != get-or-create ]; do shift; done
        printf '[%s]\\n\\tkey = secret\\n' "$2" >"${*: -1}"; note ceph "${*:2:$#-3}"''',
    # Answers as long as the API runs.
    'curl': 'if [ ! -e "$STATE/broken" ] && alive devstack@ratoon-api.service; then echo 200; else echo 000; exit 7; fi',
    'systemctl': '''case $1 in
        is-enabled) [ -e "$STATE/enabled-$2" ] ;;
        enable) : >"$STATE/enabled-$2" ;;
        disable) rm "$STATE/enabled-$2" ;;
        start) alive "$2" && exit
            command=$(sed -n 's/^ExecStart *= *//p' "$SYSTEMD_DIR/$2")
            setsid $command >>"$STATE/$2.log" 2>&1 </dev/null &
            echo $! >"$STATE/$2.pid" ;;
        stop) if alive "$2"; then kill "$(<"$STATE/$2.pid")"; while alive "$2"; do sleep 0.05; done; fi
            rm -f "$STATE/$2.pid" ;;
        esac''',
    'ratoon': '''[ -r "$2" ] || { echo "no $2"; exit 2; }
        case ${*:3} in
        'manage db upgrade') [ -e "$STATE/databases/ratoon" ] && echo schema >"$STATE/databases/ratoon" ;;
        'manage service register --public-url'*) echo "$OS_USERNAME:$OS_PASSWORD in $OS_PROJECT_NAME: ${*: -1}" >"$STATE/catalog" ;;
        api | engine) [ ! -e "$STATE/broken" ] && exec sleep 300 ;;
        *) exit 2 ;;
        esac''',
}
COMMAND = '''#!/bin/bash
note() {{ grep -qsxF -- "$2" "$STATE/$1" || echo "$2" >>"$STATE/$1"; }}
alive() {{
    local pid; {{ read -r pid <"$STATE/$1.pid"; }} 2>/dev/null &&
        grep -qszxF "STATE=$STATE" "/proc/$pid/environ"
}}
[ {name} = sudo ] || echo "${{AS_ROOT:+sudo }}{name} $*" >>"$STATE.calls"
{act}
'''


class Failed(AssertionError):
    """A phase ended the script."""


class Stack:
    def __init__(self, dir, commands=COMMANDS, **local_conf):
        self.dir, self.etc, self.state = dir, dir / 'etc', dir / 'state'
        self.clone, self.conf = dir / 'ratoon', self.etc / 'ratoon' / 'ratoon.conf'
        for folder in ('bin', 'etc/nova', 'etc/cinder', 'etc/glance', 'etc/ceph', 'etc/systemd', 'etc/apache', 'state/databases',
                       'state/queues', 'ratoon/devstack'):
            (dir / folder).mkdir(parents=True)
        for name in ('plugin.sh', 'settings', 'toolchain'):
            shutil.copy(ROOT / 'devstack' / name, self.clone / 'devstack' / name)
        shutil.copytree(ROOT / 'devstack' / 'lib', self.clone / 'devstack' / 'lib')
        for name, act in commands.items():
            (dir / 'bin' / name).write_text(COMMAND.format(name=name, act=act))
            (dir / 'bin' / name).chmod(0o755)
        (self.state / 'cargo').write_text('1.94.0\n')
        user = subprocess.run(['id', '-un'], capture_output=True, text=True, check=True).stdout.strip()
        self.variables = {
            'PATH': f'{dir}/bin:/usr/sbin:/usr/bin:/sbin:/bin', 'HOME': str(dir), 'STATE': str(self.state), 'LC_ALL': 'C.UTF-8',
            'RATOON_TEST_DEVSTACK': os.environ.get('RATOON_TEST_DEVSTACK', ''), 'PLUGIN_DIR': str(self.clone / 'devstack'),
            'DEST': str(dir), 'DATA_DIR': str(dir / 'data'), 'STACK_USER': user, 'SYSTEMD_DIR': str(self.etc / 'systemd'),
            'APACHE_CONF_DIR': str(self.etc / 'apache'), 'RATOON_CONF_DIR': str(self.etc / 'ratoon'),
            'NOVA_CONF_DIR': str(self.etc / 'nova'), 'NOVA_CONF': str(self.etc / 'nova' / 'nova.conf'),
            'CINDER_CONF': str(self.etc / 'cinder' / 'cinder.conf'), 'GLANCE_API_CONF': str(self.etc / 'glance' / 'glance-api.conf'),
            'CEPH_CONF_FILE': str(self.etc / 'ceph' / 'ceph.conf'), 'ENABLE_CEPH_NOVA': 'True', 'REMOTE_CEPH': 'False',
            'DEVSTACK_PLUGINS': ',devstack-plugin-ceph,ratoon', 'SERVICE_HOST': '192.0.2.7', 'SERVICE_LISTEN_ADDRESS': '0.0.0.0',
            'SERVICE_TIMEOUT': '60', 'SERVICE_PROTOCOL': 'http', 'REGION_NAME': 'RegionOne', 'ENABLE_DEBUG_LOG_LEVEL': 'True',
            'ENABLED_SERVICES': 'key,mysql,rabbit,n-api,n-cond,n-cpu,c-api,c-vol,g-api', 'DATABASE_TYPE': 'mysql',
            'MYSQL_SERVICE_NAME': 'mariadb', 'DATABASE_HOST': '127.0.0.1', 'MYSQL_HOST': '127.0.0.1', 'DATABASE_USER': 'root',
            'DATABASE_PASSWORD': 'of-databases', 'MYSQL_GATHER_PERFORMANCE': 'True', 'RABBIT_USERID': 'stackrabbit',
            'RABBIT_PASSWORD': 'of-rabbit', 'RABBIT_HOST': '192.0.2.7', 'SERVICE_PASSWORD': 'of-services', 'ADMIN_PASSWORD': 'of-admin',
            'SERVICE_DOMAIN_NAME': 'Default', 'SERVICE_PROJECT_NAME': 'service', 'SSL_BUNDLE_FILE': str(dir / 'ca-bundle.pem'),
            'KEYSTONE_SERVICE_URI': 'http://192.0.2.7/identity', 'KEYSTONE_URL': 'http://192.0.2.7/identity', **local_conf}

    def run(self, *phases):
        """The phases in one shell, as stack.sh runs them; what was said."""
        script = f'set -o errexit; source {FUNCTIONS}; load_plugin_settings; set -o xtrace; for phase; do run_phase $phase; done'
        ran = subprocess.run(['bash', '-c', script, 'bash', *phases], env=self.variables, capture_output=True, text=True,
                             stdin=subprocess.DEVNULL, timeout=900)
        if ran.returncode != 0:
            raise Failed(ran.stdout + '\n'.join(ran.stderr.splitlines()[-30:]))
        return ran.stdout + ran.stderr

    def calls(self, *names):
        """What the commands were asked for, in order; `sudo` stands before what was done as root."""
        log = pathlib.Path(f'{self.state}.calls')
        lines = log.read_text().splitlines() if log.exists() else []
        return [line for line in lines if line.removeprefix('sudo ').split()[0] in names]

    def noted(self, file):
        path = self.state / file
        return path.read_text().splitlines() if path.exists() else []

    def running(self):
        """The command of each service that runs."""
        found = {}
        for file in self.state.glob('devstack@*.pid'):
            command = pathlib.Path('/proc', file.read_text().strip(), 'cmdline')
            if command.exists() and command.read_bytes():
                found[file.name.removeprefix('devstack@').removesuffix('.service.pid')] = int(file.read_text())
        return found

    def files(self):
        """All files with what is in them, apart from the logs."""
        return {str(path.relative_to(self.dir)): path.read_bytes() for path in self.dir.rglob('*')
                if path.is_file() and path.suffix not in ('.calls', '.log')}

    def end(self):
        for pid in self.running().values():
            os.kill(pid, signal.SIGKILL)


def options(path):
    """An ini file as {section: {option: value}}."""
    parser = configparser.ConfigParser(interpolation=None, default_section='')
    parser.optionxform = str
    parser.read_string(path.read_text())
    return {section: dict(parser[section]) for section in parser.sections()}
