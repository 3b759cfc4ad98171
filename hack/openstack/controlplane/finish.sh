#!/usr/bin/env bash
# Runs in the new root: creates and syncs every database and fills Keystone, so that a start has nothing left to do
# but put in its own secrets and address. Endpoints are written for the host name controlplane.invalid.
set -euo pipefail

as() {
	local user=$1
	shift
	runuser -u "$user" -- "$@"
}

install -d -o mysql -g mysql /run/mysqld
mariadbd --user=mysql --pid-file=/run/mysqld/mysqld.pid &
database=$!
until mariadb-admin ping --silent; do sleep 0.2; done

for pair in keystone:keystone placement:placement glance:glance neutron:neutron \
	nova_api:nova nova_cell0:nova nova_cell1:nova; do
	mariadb <<-SQL
		CREATE DATABASE ${pair%:*};
		CREATE USER IF NOT EXISTS '${pair#*:}'@localhost IDENTIFIED VIA unix_socket;
		GRANT ALL ON ${pair%:*}.* TO '${pair#*:}'@localhost;
	SQL
done

chgrp keystone /etc/keystone/keystone.conf
chgrp placement /etc/placement/placement.conf
chgrp glance /etc/glance/glance-api.conf
chgrp nova /etc/nova/nova.conf
chgrp neutron /etc/neutron/neutron.conf /etc/neutron/plugins/ml2/ml2_conf.ini
install -d -o nova /run/lock/nova
install -d -o neutron /run/lock/neutron

as keystone keystone-manage db_sync
as placement placement-manage db sync
as glance glance-manage db_sync
as nova nova-manage api_db sync
as nova nova-manage cell_v2 map_cell0 \
	--database_connection 'mysql+pymysql://nova@localhost/nova_cell0?unix_socket=/run/mysqld/mysqld.sock'
as nova nova-manage cell_v2 create_cell --name cell1 --transport-url 'rabbit://controlplane.invalid:5672/' \
	--database_connection 'mysql+pymysql://nova@localhost/nova_cell1?unix_socket=/run/mysqld/mysqld.sock'
as nova nova-manage db sync
as neutron neutron-db-manage --config-file /etc/neutron/neutron.conf \
	--config-file /etc/neutron/plugins/ml2/ml2_conf.ini upgrade heads

# A throw-away identity: a start replaces the keys and every password.
install -d -o keystone -g keystone -m 700 /etc/keystone/fernet-keys
keystone-manage fernet_setup --keystone-user keystone --keystone-group keystone
as keystone keystone-manage bootstrap --bootstrap-password build --bootstrap-region-id regionOne \
	--bootstrap-public-url http://controlplane.invalid:5000/v3 \
	--bootstrap-internal-url http://controlplane.invalid:5000/v3 \
	--bootstrap-admin-url http://controlplane.invalid:5000/v3
as keystone python3 /usr/bin/keystone-wsgi-public --host 127.0.0.1 --port 5000 >/dev/null 2>&1 &
identity=$!
python3 /finish/finish-catalog.py
kill "$identity"
rm -f /etc/keystone/fernet-keys/*

mariadb-admin shutdown
wait "$database"

# One worker each: two cores are all there is. Neutron's OVN events arrive on a thread of its API process, which
# uwsgi runs only when threads are enabled.
sed -i -e 's/^processes = .*/processes = 1/' -e 's/^threads = .*/threads = 4/' -e 's/^enable-threads = false/enable-threads = true/' \
	/etc/keystone/keystone-uwsgi.ini /etc/placement/placement-api-uwsgi.ini /etc/glance/glance-api-uwsgi.ini \
	/etc/nova/nova-api-uwsgi.ini /etc/nova/nova-api-metadata-uwsgi.ini /etc/neutron/neutron-api-uwsgi.ini
# Nova's are monkey-patched by eventlet: the answers of its RPC calls are waited for by a green thread of the one native
# thread that made the first call, so that with several threads calls of the others time out.
sed -i -e 's/^processes = .*/processes = 2/' -e 's/^threads = .*/threads = 1/' /etc/nova/nova-api-uwsgi.ini /etc/nova/nova-api-metadata-uwsgi.ini
systemctl enable placement-api.service
# Executed by MariaDB before it accepts the first connection.
printf 'init-file = /etc/mysql/rackplane.sql\n' >>/etc/mysql/mariadb.conf.d/90-rackplane.cnf
rm -f /var/lib/rabbitmq/.erlang.cookie
find /var/log -type f -delete
