// Package agent speaks the API of ironic-python-agent, the program Ironic boots on a server to inspect it and to
// write its disk. It does what the real agent does towards Ironic (inspection data, lookup, heartbeats, commands,
// TLS with a certificate of its own, the agent token) and leaves what touches hardware to a Machine.
//
// Run serves one boot: it returns when its context ends, as a server that loses power does.
//
// Facts are taken from ironic 39.0.0 (api/controllers/v1/ramdisk.py, drivers/modules/agent_client.py,
// agent_base.py, agent.py) and from ironic-python-agent's agent.py, ironic_api_client.py and extensions/.
package agent
