"""Registers the services, endpoints and service users that keystone-manage bootstrap does not know."""

import time

import openstack

SERVICES = {
    "placement": ("placement", "placement", "8778"),
    "glance": ("glance", "image", "9292"),
    "nova": ("nova", "compute", "8774/v2.1"),
    "neutron": ("neutron", "network", "9696"),
}


def connect():
    """Waits for Keystone and returns an authorized connection that ignores the catalog's addresses."""
    for attempt in range(60):
        try:
            cloud = openstack.connect(
                auth_url="http://127.0.0.1:5000/v3",
                username="admin",
                password="build",
                project_name="admin",
                user_domain_name="Default",
                project_domain_name="Default",
                region_name="regionOne",
                identity_endpoint_override="http://127.0.0.1:5000/v3",
            )
            cloud.authorize()
            return cloud
        except Exception:
            if attempt == 59:
                raise
            time.sleep(1)


def main():
    identity = connect().identity
    project = identity.create_project(name="service", domain_id="default")
    roles = [identity.find_role("admin"), identity.find_role("service")]
    for user, (name, kind, rest) in SERVICES.items():
        account = identity.create_user(name=user, password="build", domain_id="default")
        for role in roles:
            identity.assign_project_role_to_user(project, account, role)
        service = identity.create_service(name=name, type=kind)
        for interface in ("public", "internal", "admin"):
            identity.create_endpoint(
                service_id=service.id,
                interface=interface,
                region_id="regionOne",
                url=f"http://controlplane.invalid:{rest}",
            )


main()
