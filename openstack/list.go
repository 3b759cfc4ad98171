package openstack

import (
	"context"
	"encoding/json"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/pagination"
)

// list reads all pages of a collection. gophercloud's own types are not used: they decode fields that are not needed
// here, and fail on values that drivers and releases write differently (hypervisor_version, heartbeat_timestamp).
func list[T any](ctx context.Context, client *gophercloud.ServiceClient, key, path string) ([]T, error) {
	var all []T
	pager := pagination.NewPager(client, client.ServiceURL(path), func(r pagination.PageResult) pagination.Page {
		return collection{pagination.LinkedPageBase{PageResult: r}, key}
	})
	err := pager.EachPage(ctx, func(_ context.Context, p pagination.Page) (bool, error) {
		var rows []T
		c, ok := p.(collection)
		if !ok {
			return false, nil
		}
		err := c.decode(c.key, &rows)
		all = append(all, rows...)
		return true, err
	})
	return all, err
}

// collection is a page: {KEY: [...], KEY_links: [{rel: next, href: ...}]}, the links only where there is more.
type collection struct {
	pagination.LinkedPageBase
	key string
}

func (c collection) decode(key string, into any) error {
	var fields map[string]json.RawMessage
	if err := c.ExtractInto(&fields); err != nil || len(fields[key]) == 0 {
		return err
	}
	return json.Unmarshal(fields[key], into)
}

// IsEmpty implements pagination.Page.
func (c collection) IsEmpty() (bool, error) {
	var rows []json.RawMessage
	err := c.decode(c.key, &rows)
	return len(rows) == 0, err
}

// NextPageURL implements pagination.Page.
func (c collection) NextPageURL() (string, error) {
	var links []gophercloud.Link
	if err := c.decode(c.key+"_links", &links); err != nil {
		return "", err
	}
	return gophercloud.ExtractNextURL(links)
}
