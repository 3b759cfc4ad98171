package network

import (
	"errors"
	"fmt"

	"github.com/rackplane/rackplane/api/v1alpha1"
)

// Validate finds what is wrong with the networks: malformed fields (which the API server refuses, but offline manifests
// may have), subnets that overlap, and a missing or doubled control-plane network. Each error names field and remedy.
func Validate(nets v1alpha1.NetConfigSpec) []error {
	var errs []error
	var subnets []parsed
	var ctlplane []string
	for _, n := range nets.Networks {
		if IsCtlplane(n) {
			ctlplane = append(ctlplane, n.Name)
		}
		errs = append(errs, checkNames(n)...)
		for _, s := range n.Subnets {
			p, err := parse(n.Name, s)
			errs = append(errs, unjoin(err)...)
			if p.prefix.IsValid() {
				errs = append(errs, overlaps(p, subnets)...)
				subnets = append(subnets, p)
			}
		}
	}
	switch {
	case len(ctlplane) == 0:
		errs = append(errs, errors.New("no network is the control plane: name one ctlplane, or set its serviceNetwork to ctlplane"))
	case len(ctlplane) > 1:
		errs = append(errs, fmt.Errorf("networks %s and %s are both the control plane: keep serviceNetwork ctlplane on one", ctlplane[0], ctlplane[1]))
	}
	return errs
}

// checkNames refuses a name that variables cannot be made from, and a domain that is none.
func checkNames(n v1alpha1.Network) []error {
	var errs []error
	if !variableStem.MatchString(n.Name) {
		errs = append(errs, fmt.Errorf("network %.80q: name must begin with a letter and hold letters, digits, dashes and underscores alone: rename it", n.Name))
	}
	if n.ServiceNetwork != "" && !variableStem.MatchString(n.ServiceNetwork) {
		errs = append(errs, fmt.Errorf("network %.80q: serviceNetwork %.80q must begin with a letter and hold letters, digits, dashes and underscores alone: correct it", n.Name, n.ServiceNetwork))
	}
	if n.DNSDomain != "" {
		if err := CheckName(n.DNSDomain); err != nil {
			errs = append(errs, fmt.Errorf("network %s: dnsDomain %w", n.Name, err))
		}
	}
	return errs
}

func overlaps(p parsed, others []parsed) []error {
	var errs []error
	for _, o := range others {
		if p.prefix.Overlaps(o.prefix) {
			errs = append(errs, fmt.Errorf("%s: cidr %s overlaps %s of %s: one address would belong to both; change one", p, p.prefix, o.prefix, o))
		}
	}
	return errs
}

// unjoin takes nested joined errors apart, so that each stands for one field.
func unjoin(err error) []error {
	if err == nil {
		return nil
	}
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}
	}
	var all []error
	for _, e := range joined.Unwrap() {
		all = append(all, unjoin(e)...)
	}
	return all
}
