package redfish

import (
	"context"
	"slices"

	"github.com/stmcginnis/gofish/schemas"

	"github.com/rackplane/rackplane/fault"
)

// drive reads the virtual CD drive: the system's, or else of the manager that serves it.
func (s *Server) drive(ctx context.Context) (*schemas.VirtualMedia, error) {
	c, sys, err := s.enter(ctx)
	if err != nil {
		return nil, err
	}
	lists := []string{linkOf(sys.body, "VirtualMedia")}
	for _, manager := range managersOf(sys.body) {
		if lists[0] != "" {
			break
		}
		if doc, err := c.read(manager); err == nil {
			lists = append(lists, linkOf(doc.body, "VirtualMedia"))
		}
	}
	for _, list := range lists {
		if list == "" {
			continue
		}
		all, err := c.read(list)
		if err != nil {
			return nil, err
		}
		if found, err := c.cd(linksOf(all.body, "Members")); found != nil || err != nil {
			return found, err
		}
	}
	return nil, fault.New(fault.Unsupported, "%s has no virtual CD drive", sys.path)
}

// cd returns the first of several drives that takes a CD.
func (c conn) cd(paths []string) (*schemas.VirtualMedia, error) {
	for _, path := range paths {
		doc, err := c.read(path)
		if err != nil {
			return nil, err
		}
		var v schemas.VirtualMedia
		if _, err := loosely(doc.body, &v); err != nil {
			return nil, fault.Wrap(fault.Transient, err, "%s", path)
		}
		if slices.Contains(v.MediaTypes, schemas.CDVirtualMediaType) || slices.Contains(v.MediaTypes, schemas.DVDVirtualMediaType) {
			v.SetClient(c.APIClient)
			v.ODataID = path
			if doc.etag != "" {
				v.SetETag(doc.etag)
			}
			return &v, nil
		}
	}
	return nil, nil
}

// managersOf reads which managers serve a system.
func managersOf(system []byte) []string {
	var doc struct{ Links struct{ ManagedBy []link } }
	if _, err := loosely(system, &doc); err != nil {
		return nil
	}
	var out []string
	for _, l := range doc.Links.ManagedBy {
		if l.path() != "" {
			out = append(out, l.path())
		}
	}
	return out
}

// holds is what a drive says is in it.
func holds(v *schemas.VirtualMedia) Medium {
	return Medium{Image: v.Image, Inserted: v.Inserted != nil && *v.Inserted}
}

// Medium implements Media.
func (s *Server) Medium(ctx context.Context) (Medium, error) {
	v, err := s.drive(ctx)
	if err != nil {
		return Medium{}, err
	}
	return holds(v), nil
}

// Insert implements Media.
func (s *Server) Insert(ctx context.Context, image string) (Result, error) {
	v, err := s.drive(ctx)
	if err != nil {
		return Result{}, err
	}
	if holds(v) == (Medium{Image: image, Inserted: true}) {
		return Result{State: Complete}, nil
	}
	if holds(v) != (Medium{}) {
		if r, err := s.Eject(ctx); err != nil || r.State != Complete {
			if err == nil {
				r = Result{State: Blocked, Receipt: r.Receipt, Need: "what was in the drive is still being ejected"}
			}
			return r, err
		}
		if v, err = s.drive(ctx); err != nil {
			return Result{}, err
		}
	}
	inserted := true
	task, err := v.InsertMedia(&schemas.VirtualMediaInsertMediaParameters{Image: image, Inserted: &inserted})
	if err != nil {
		return Result{}, explain(err, v.ODataID)
	}
	return s.readBack(ctx, task, Medium{Image: image, Inserted: true})
}

// Eject implements Media.
func (s *Server) Eject(ctx context.Context) (Result, error) {
	v, err := s.drive(ctx)
	if err != nil {
		return Result{}, err
	}
	if holds(v) == (Medium{}) {
		return Result{State: Complete}, nil
	}
	task, err := eject(v)
	if err != nil {
		return Result{}, explain(err, v.ODataID)
	}
	return s.readBack(ctx, task, Medium{})
}

// eject asks for it. Where there is no action the image is named as none: gofish's own way leaves it in the field.
func eject(v *schemas.VirtualMedia) (*schemas.TaskMonitorInfo, error) {
	if v.SupportsMediaEject {
		return v.EjectMedia()
	}
	return nil, v.Patch(v.ODataID, map[string]any{"Image": nil, "Inserted": false})
}

// readBack tells what has come of a change of the drive.
func (s *Server) readBack(ctx context.Context, task *schemas.TaskMonitorInfo, want Medium) (Result, error) {
	if task != nil {
		return Result{State: Accepted, Receipt: task.TaskMonitor}, nil
	}
	is, err := s.Medium(ctx)
	if err != nil {
		return Result{}, err
	}
	if is != want {
		return Result{State: Accepted}, nil
	}
	return Result{State: Complete}, nil
}
