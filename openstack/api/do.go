package api

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/aggregates"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/services"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/agents"
	"github.com/gophercloud/gophercloud/v2/openstack/placement/v1/resourceproviders"
	"github.com/gophercloud/gophercloud/v2/openstack/placement/v1/traits"

	"github.com/rackplane/rackplane/fault"
	"github.com/rackplane/rackplane/openstack"
)

// Do implements openstack.Cloud.
func (c *Clouds) Do(ctx context.Context, access openstack.Access, action openstack.Action) error {
	s := c.session(access)
	defer s.forget() // also after a failure: the answer may have been lost
	ctx, cancel := context.WithTimeout(ctx, 2*c.timeout)
	defer cancel()
	a, err := s.login(ctx)
	if err != nil {
		return err
	}
	d := doer{api: a, blame: blame{access: access}, action: action}
	switch action.Verb {
	case openstack.MakeAggregate:
		return d.makeAggregate(ctx)
	case openstack.JoinAggregate:
		return d.joinAggregate(ctx)
	case openstack.SetTrait:
		return d.setTrait(ctx)
	case openstack.DisableService:
		return d.disableService(ctx)
	case openstack.DeleteService:
		err := services.Delete(ctx, d.compute, action.Service).ExtractErr()
		return d.gone("delete the compute service of host "+action.Host, err)
	case openstack.DeleteAgent:
		err := agents.Delete(ctx, d.network, action.Agent).ExtractErr()
		return d.gone("delete the network agent of host "+action.Host, err)
	}
	return fault.New(fault.Unsupported, "no cloud knows the action %q", action.Verb)
}

// doer does one action.
type doer struct {
	*api
	blame
	action openstack.Action
}

// aggregate finds the action's aggregate; nil when there is none.
func (d *doer) aggregate(ctx context.Context) (*aggregate, error) {
	all, err := listAggregates(ctx, d.api)
	if err != nil {
		return nil, d.classify("list host aggregates", err)
	}
	i := slices.IndexFunc(all, func(a aggregate) bool { return a.Name == d.action.Aggregate })
	if i < 0 {
		return nil, nil
	}
	return &all[i], nil
}

func (d *doer) makeAggregate(ctx context.Context) error {
	_, err := aggregates.Create(ctx, d.compute, aggregates.CreateOpts{Name: d.action.Aggregate, AvailabilityZone: d.action.Zone}).Extract()
	if !gophercloud.ResponseCodeIs(err, http.StatusConflict) {
		return d.classify("make host aggregate "+d.action.Aggregate, err)
	}
	there, err := d.aggregate(ctx)
	switch {
	case err != nil:
		return err
	case there == nil:
		return fault.New(fault.Busy, "host aggregate %s is there and not yet listed", d.action.Aggregate)
	case d.action.Zone != "" && there.Zone != d.action.Zone:
		return fault.New(fault.Rejected, "host aggregate %s is there and of availability zone %q, not %s: set its zone, or name another",
			there.Name, there.Zone, d.action.Zone)
	}
	return nil
}

func (d *doer) joinAggregate(ctx context.Context) error {
	there, err := d.aggregate(ctx)
	switch {
	case err != nil:
		return err
	case there == nil:
		return fault.New(fault.Missing, "there is no host aggregate %s", d.action.Aggregate)
	case slices.Contains(there.Hosts, d.action.Host):
		return nil
	}
	_, err = aggregates.AddHost(ctx, d.compute, there.ID, aggregates.AddHostOpts{Host: d.action.Host}).Extract()
	if !gophercloud.ResponseCodeIs(err, http.StatusConflict) {
		return d.classify("put host "+d.action.Host+" into host aggregate "+there.Name, err)
	}
	// Nova answers 409 both for a member and for a host of another zone.
	if now, again := d.aggregate(ctx); again == nil && now != nil && slices.Contains(now.Hosts, d.action.Host) {
		return nil
	}
	return fault.New(fault.Rejected, "host %s cannot be put into host aggregate %s: %s", d.action.Host, there.Name, conflict(err))
}

func (d *doer) setTrait(ctx context.Context) error {
	doing := "set trait " + d.action.Trait + " on resource provider " + d.action.Provider
	held, err := resourceproviders.GetTraits(ctx, d.placement, d.action.Provider).Extract()
	if err != nil {
		return d.classify(doing, err)
	}
	if slices.Contains(held.Traits, d.action.Trait) {
		return nil
	}
	if strings.HasPrefix(d.action.Trait, "CUSTOM_") {
		if err := traits.Create(ctx, d.placement, d.action.Trait).Err; err != nil {
			return d.classify("make trait "+d.action.Trait, err)
		}
	}
	held.Traits = append(held.Traits, d.action.Trait)
	err = resourceproviders.UpdateTraits(ctx, d.placement, d.action.Provider, *held).Err
	if gophercloud.ResponseCodeIs(err, http.StatusBadRequest) {
		return fault.New(fault.Rejected, "Placement knows no trait %s: correct spec.openstack.traits; traits of one's own begin with CUSTOM_", d.action.Trait)
	}
	return d.classify(doing, err)
}

func (d *doer) disableService(ctx context.Context) error {
	opts := services.UpdateOpts{Status: services.ServiceDisabled, DisabledReason: "released by Rackplane"}
	return d.classify("disable the compute service of host "+d.action.Host, services.Update(ctx, d.compute, d.action.Service, opts).Err)
}

// gone takes what is not there any more for done.
func (d *doer) gone(doing string, err error) error {
	if gophercloud.ResponseCodeIs(err, http.StatusNotFound) {
		return nil
	}
	return d.classify(doing, err)
}

// conflict is what an HTTP 409 said.
func conflict(err error) string {
	var answer gophercloud.ErrUnexpectedResponseCode
	if errors.As(err, &answer) {
		return said(answer.Body)
	}
	return innermost(err)
}
