package main

import (
	metal3v1alpha1 "github.com/metal3-io/baremetal-operator/apis/metal3.io/v1alpha1"

	"github.com/rackplane/rackplane/provisioner/hostspec"
)

// specProblems is what the builtin host backend refuses in a host, in the same words.
func specProblems(h *metal3v1alpha1.BareMetalHost) []string {
	var problems []string
	for _, wrong := range hostspec.Check(h) {
		problems = append(problems, wrong.Message)
	}
	return problems
}
