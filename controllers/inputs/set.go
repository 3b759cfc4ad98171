package inputs

import (
	"context"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/plan"
)

// ReadSet reads what the services of a set need. Problems are collected; an error means that something could not be read.
func ReadSet(ctx context.Context, r client.Reader, set *v1alpha1.NodeSet, services []string) (plan.Set, error) {
	s := plan.Set{NodeSet: set}
	var err error
	if s.Site, err = Site(ctx, r, set.Namespace); note(&s, err) {
		return plan.Set{}, err
	}
	if s.Key, err = ReadSSHKey(ctx, r, set); note(&s, err) {
		return plan.Set{}, err
	}
	if set.Spec.OpenStack != nil {
		access, err := ReadCloud(ctx, r, set)
		if note(&s, err) {
			return plan.Set{}, err
		}
		if err == nil {
			s.Cloud = cloudID(access)
		}
	}
	usable := true
	for _, name := range services {
		service, err := ReadService(ctx, r, types.NamespacedName{Namespace: set.Namespace, Name: name})
		if note(&s, err) {
			return plan.Set{}, err
		}
		if usable = usable && err == nil; usable {
			s.Services = append(s.Services, service)
		}
	}
	return s, nil
}

// note keeps a problem and reports whether err is anything else.
func note(s *plan.Set, err error) (failed bool) {
	if err != nil && plan.IsProblem(err) {
		s.Problems = append(s.Problems, err)
		return false
	}
	return err != nil
}
