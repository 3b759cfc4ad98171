// Package local is an ansible.Runner that runs ansible-playbook on this machine.
//
// Each run has a folder named by its key, and the folder is all the state there
// is: the processes of a run hold its lock file for their life and leave their
// events and exit code behind. So a run goes on when the engine is killed, and
// the next engine sees from the folder whether it is running, has finished, or
// was lost half way. Folders have mode 0700. The SSH key, the extra variables
// and the data files are removed when the run ends.
//
// Ansible gets a complete environment of its own and nothing of the user's, and
// only talks to nodes whose host keys it was given. One engine per store;
// Linux only (flock, /proc).
package local
