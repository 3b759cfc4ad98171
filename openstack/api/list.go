package api

import (
	"context"
	"encoding/json"
	"net/url"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/pagination"

	"github.com/rackplane/rackplane/wire"
)

const (
	// pageSize is how many rows of what Nova gives in pages are asked for at once: 500 hypervisors take about 2.5 MB, so
	// that pages fit into wire.MaxAnswer. The other lists have no pages; of 5,000 computes they take 2 to 6 MB.
	pageSize = 500
	// maxPages bounds a list whose pages never end.
	maxPages = 100
)

// list reads all pages of a collection. gophercloud's own types are not used: they decode fields that are not needed
// here, and fail on values that drivers and releases write differently (hypervisor_version, heartbeat_timestamp).
func list[T any](ctx context.Context, client *gophercloud.ServiceClient, key, path string) ([]T, error) {
	var all []T
	pager := pagination.NewPager(client, client.ServiceURL(path), func(r pagination.PageResult) pagination.Page {
		return collection{pagination.LinkedPageBase{PageResult: r}, key, client.ServiceURL(path)}
	})
	pages := 0
	err := pager.EachPage(ctx, func(_ context.Context, p pagination.Page) (bool, error) {
		if pages++; pages > maxPages {
			return false, wire.ErrTooLarge
		}
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
	// first is the URL of the first page.
	first string
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

// NextPageURL implements pagination.Page. Only what the link asks is taken from it: where it leads is up to whoever answers,
// and the token goes there.
func (c collection) NextPageURL() (string, error) {
	var links []gophercloud.Link
	if err := c.decode(c.key+"_links", &links); err != nil {
		return "", err
	}
	link, err := gophercloud.ExtractNextURL(links)
	if err != nil || link == "" {
		return "", err
	}
	next, err := url.Parse(link)
	if err != nil {
		return "", err
	}
	page, err := url.Parse(c.first)
	if err != nil {
		return "", err
	}
	page.RawQuery = next.RawQuery
	return page.String(), nil
}
