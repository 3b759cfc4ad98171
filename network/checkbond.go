package network

import (
	"fmt"
	"slices"
	"strings"
)

// takenBy are the modes that take an option; one that is not here all take (drivers/net/bonding/bond_options.c, unsuppmodes).
func takenBy(option string) []string {
	switch option {
	case "lacp_rate", "lacp_active", "ad_actor_sys_prio", "ad_actor_system", "ad_user_port_key":
		return []string{"802.3ad"}
	case "arp_interval", "arp_validate":
		return []string{"balance-rr", "active-backup", "balance-xor", "broadcast"}
	case "primary":
		return []string{"active-backup", "balance-tlb", "balance-alb"}
	case "packets_per_slave":
		return []string{"balance-rr"}
	case "tlb_dynamic_lb":
		return []string{"balance-tlb", "balance-alb"}
	default:
		return nil
	}
}

func (d *document) checkBonds() error {
	for _, one := range d.of(kindBond) {
		name, bond := text(one, "name"), section(one, "link-aggregation")
		mode, options, ports := text(bond, "mode"), section(bond, "options"), textList(bond, "port")
		if mode == "" {
			return fmt.Errorf("interfaces[%s].link-aggregation.mode is missing: set it, for example 802.3ad or active-backup", name)
		}
		if len(ports) == 0 {
			return fmt.Errorf("interfaces[%s].link-aggregation has no ports, so that nothing would ever pass: give it some", name)
		}
		for option := range options {
			if modes := takenBy(option); modes != nil && !slices.Contains(modes, mode) {
				return fmt.Errorf("interfaces[%s]: mode %s does not take %s, but only %s: remove it", name, mode, option, strings.Join(modes, ", "))
			}
		}
		if err := checkMonitor(name, options); err != nil {
			return err
		}
		if primary := text(options, "primary"); primary != "" && !slices.Contains(ports, primary) {
			return fmt.Errorf("interfaces[%s]: primary %s is none of its ports %s: name one of them", name, primary, strings.Join(ports, ", "))
		}
	}
	return nil
}

// checkMonitor refuses link monitoring that the kernel does not take: by link or by ARP, delays in whole looks.
func checkMonitor(name string, options map[string]any) error {
	miimon, _ := number(options, "miimon")
	interval, _ := number(options, "arp_interval")
	switch {
	case miimon > 0 && interval > 0:
		return fmt.Errorf("interfaces[%s]: miimon and arp_interval are both set, and one switches the other off: keep one", name)
	case interval > 0 && text(options, "arp_ip_target") == "" && options["ns_ip6_target"] == nil:
		return fmt.Errorf("interfaces[%s]: arp_interval is set without an address to ask: set arp_ip_target", name)
	}
	for _, delay := range []string{"updelay", "downdelay"} {
		wait, ok := number(options, delay)
		if !ok || wait == 0 {
			continue
		}
		if miimon == 0 {
			return fmt.Errorf("interfaces[%s]: %s needs miimon: set that too", name, delay)
		}
		if wait%miimon != 0 {
			return fmt.Errorf("interfaces[%s]: %s %d is no multiple of miimon %d, and the kernel would round it: correct it", name, delay, wait, miimon)
		}
	}
	return nil
}
