package step_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/controllers/step"
	"github.com/rackplane/rackplane/controllers/step/steptest"
	"github.com/rackplane/rackplane/fault"
)

// rig is a node and the steps that run on it.
type rig struct {
	*steptest.API
	events chan string
}

func newRig(t *testing.T) *rig {
	t.Helper()
	node := &v1alpha1.DataPlaneNode{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "n", Finalizers: []string{"test/keep"}}}
	return &rig{API: steptest.New(t, node), events: make(chan string, 100)}
}

func (r *rig) node(t *testing.T) *v1alpha1.DataPlaneNode {
	t.Helper()
	node := &v1alpha1.DataPlaneNode{}
	if err := r.Plain.Get(t.Context(), client.ObjectKey{Namespace: "a", Name: "n"}, node); err != nil {
		t.Fatal(err)
	}
	return node
}

// says is a step's answer.
type says struct {
	condition string
	outcome   step.Outcome
	err       error
}

func (r *rig) run(t *testing.T, answers ...says) (step.Result, error) {
	t.Helper()
	node := r.node(t)
	var steps []step.Step
	for _, a := range answers {
		steps = append(steps, step.Step{Condition: a.condition, Run: func(context.Context) (step.Outcome, error) { return a.outcome, a.err }})
	}
	target := step.Target{Object: node, Conditions: &node.Status.Conditions, ObservedGeneration: &node.Status.ObservedGeneration}
	loop := step.Loop{Client: r.API, Clock: r.Clock, Events: &events.FakeRecorder{Events: r.events}}
	return step.Run(t.Context(), loop, target, steps)
}

// brief is the conditions in short: +A for True, -A:Reason for False.
func brief(conditions []metav1.Condition) string {
	var words []string
	for _, c := range conditions {
		if c.Status == metav1.ConditionTrue {
			words = append(words, "+"+c.Type)
		} else {
			words = append(words, "-"+c.Type+":"+c.Reason)
		}
	}
	return strings.Join(words, " ")
}

func TestRun(t *testing.T) {
	done := step.Outcome{}
	cases := []struct {
		name    string
		answers []says
		want    string
		after   time.Duration
		fails   bool
	}{
		{"all done", []says{{"A", done, nil}, {"B", done, nil}}, "+A +B +Ready", 0, false},
		{"done and coming back", []says{{"A", done.Again(time.Hour), nil}, {"B", done.Again(time.Minute), nil}}, "+A +B +Ready", time.Minute, false},
		{"waiting stops", []says{{"A", done, nil}, {"B", step.Waiting("WaitingForX", "x", time.Second), nil}, {"C", done, nil}}, "+A -B:WaitingForX -Ready:WaitingForX", time.Second, false},
		{"waiting for a watch still resyncs", []says{{"A", step.Waiting("WaitingForX", "x", 0), nil}}, "-A:WaitingForX -Ready:WaitingForX", step.Resync, false},
		{"later goes on", []says{{"A", step.Later("X", "x", time.Minute), nil}, {"B", done, nil}, {"C", step.Later("Y", "y", time.Second), nil}}, "-A:X +B -C:Y -Ready:X", time.Second, false},
		{"hold resyncs slowly", []says{{"A", step.Hold("X", "x"), nil}, {"B", done, nil}}, "-A:X -Ready:X", step.Resync, false},
		{"a step without a condition lowers Ready alone", []says{{"A", done, nil}, {"", step.Hold("X", "x"), nil}}, "+A -Ready:X", step.Resync, false},
		{"steps that share a condition: all done", []says{{"A", done, nil}, {"A", done, nil}}, "+A +Ready", 0, false},
		{"steps that share a condition: the first waits", []says{{"A", step.Waiting("X", "x", 1), nil}, {"A", done, nil}}, "-A:X -Ready:X", 1, false},
		{"steps that share a condition: the first comes later", []says{{"A", step.Later("X", "x", 1), nil}, {"A", done, nil}}, "-A:X -Ready:X", 1, false},
		{"a step of its own for Ready", []says{{"A", done, nil}, {"Ready", step.Waiting("Progressing", "1 of 2", 1), nil}}, "+A -Ready:Progressing", 1, false},
		{"an earlier trouble wins over the Ready step's", []says{{"A", step.Later("X", "x", 1), nil}, {"Ready", done, nil}}, "-A:X -Ready:X", 1, false},
		{"a busy effect", []says{{"A", done, fault.New(fault.Busy, "locked")}}, "-A:Busy -Ready:Busy", 2 * time.Second, false},
		{"a lost decision", []says{{"A", done, fault.New(fault.Lost, "taken")}}, "-A:Lost -Ready:Lost", step.Soon, false},
		{"refused credentials", []says{{"A", done, fault.New(fault.Denied, "no")}}, "-A:Denied -Ready:Denied", step.Resync, false},
		{"a wrong request", []says{{"A", done, fault.New(fault.Rejected, "no")}}, "-A:Rejected -Ready:Rejected", step.Resync, false},
		{"something missing", []says{{"A", done, fault.New(fault.Missing, "no")}}, "-A:Missing -Ready:Missing", step.Resync, false},
		{"something unsupported", []says{{"A", done, fault.New(fault.Unsupported, "no")}}, "-A:Unsupported -Ready:Unsupported", step.Resync, false},
		{"a passing failure is left to the queue", []says{{"A", done, errors.New("connection refused")}, {"B", done, nil}}, "-A:Transient -Ready:Transient", 0, true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t)
			result, err := r.run(t, c.answers...)
			if (err != nil) != c.fails || result.RequeueAfter != c.after {
				t.Errorf("result %v, error %v; want after %s, error %t", result, err, c.after, c.fails)
			}
			node := r.node(t)
			if got := brief(node.Status.Conditions); got != c.want {
				t.Errorf("conditions %s\nwant       %s", got, c.want)
			}
			if node.Status.ObservedGeneration != 1 {
				t.Errorf("observedGeneration %d, want 1", node.Status.ObservedGeneration)
			}
			if w := r.Writes(); len(w) != 1 {
				t.Errorf("writes %v, want one", w)
			}
			r.Clock.Step(time.Hour)
			if _, err := r.run(t, c.answers...); (err != nil) != c.fails {
				t.Error(err)
			}
			if w := r.Writes(); len(w) != 0 {
				t.Errorf("the second pass writes %v", w)
			}
		})
	}
}

// TestPending: while something is asked for, its condition, those after it and Ready stay as they are; what steps before it saw
// is told, also trouble.
func TestPending(t *testing.T) {
	r := newRig(t)
	done := step.Outcome{}
	pass := func(want string, writes int, answers ...says) {
		t.Helper()
		r.Writes()
		result, err := r.run(t, answers...)
		if err != nil || result.RequeueAfter != step.Resync {
			t.Errorf("%v, %v; want to be woken, or a resync", result, err)
		}
		if got := brief(r.node(t).Status.Conditions); got != want {
			t.Errorf("conditions %s\nwant       %s", got, want)
		}
		if w := r.Writes(); len(w) != writes {
			t.Errorf("writes %v, want %d", w, writes)
		}
	}
	pass("+A -B:WaitingForX -Ready:WaitingForX", 1, says{"A", done, nil}, says{"B", step.Pending("WaitingForX", "x"), nil}, says{"C", done, nil})
	if got := r.node(t).Status.ObservedGeneration; got != 0 {
		t.Errorf("generation %d is observed, and was not", got)
	}
	if _, err := r.run(t, says{"A", done, nil}, says{"B", done, nil}, says{"C", done, nil}); err != nil {
		t.Fatal(err)
	}
	pass("+A +B +C +Ready", 0, says{"A", done, nil}, says{"B", step.Pending("WaitingForX", "x"), nil}, says{"C", step.Hold("X", "x"), nil})
	pass("-A:X +B +C -Ready:X", 1, says{"A", step.Later("X", "x", 0), nil}, says{"B", step.Pending("WaitingForX", "x"), nil}, says{"C", done, nil})
}

func TestConditionsRemember(t *testing.T) {
	r := newRig(t)
	pass := func(want string, answers ...says) {
		t.Helper()
		r.Clock.Step(time.Minute)
		if _, err := r.run(t, answers...); err != nil {
			t.Fatal(err)
		}
		if got := brief(r.node(t).Status.Conditions); got != want {
			t.Errorf("conditions %s\nwant       %s", got, want)
		}
	}
	done := step.Outcome{}
	pass("+A +B +C +Ready", says{"A", done, nil}, says{"B", done, nil}, says{"C", done, nil})
	first := meta.FindStatusCondition(r.node(t).Status.Conditions, "A").LastTransitionTime
	pass("+A -B:X +C -Ready:X", says{"A", done, nil}, says{"B", step.Waiting("X", "x", 1), nil}, says{"C", done, nil})
	pass("-A:Y -Ready:Y", says{"A", step.Lost("Y", "y", 1), nil}, says{"B", done, nil}, says{"C", done, nil})
	pass("+A -B:X -Ready:X", says{"A", done, nil}, says{"B", step.Waiting("X", "x", 1), nil}, says{"C", done, nil})
	again := meta.FindStatusCondition(r.node(t).Status.Conditions, "A").LastTransitionTime
	if !again.After(first.Time) {
		t.Errorf("A changed at %s and, after it was lost, at %s", first, again)
	}
	before := meta.FindStatusCondition(r.node(t).Status.Conditions, "B").LastTransitionTime
	pass("+A -B:Z -Ready:Z", says{"A", done, nil}, says{"B", step.Waiting("Z", "z", 1), nil}, says{"C", done, nil})
	if after := meta.FindStatusCondition(r.node(t).Status.Conditions, "B").LastTransitionTime; !after.Equal(&before) {
		t.Errorf("B stayed False, and its time moved from %s to %s", before, after)
	}
}

func TestEventsOnTransitionsOnly(t *testing.T) {
	r := newRig(t)
	for range 3 {
		if _, err := r.run(t, says{"A", step.Outcome{}, nil}, says{"B", step.Waiting("WaitingForX", "for x", 1), nil}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := r.run(t, says{"A", step.Outcome{}, nil}, says{"B", step.Hold("InvalidInput", strings.Repeat("long", 1000)), nil}); err != nil {
		t.Fatal(err)
	}
	close(r.events)
	var got []string
	for e := range r.events {
		got = append(got, e[:min(len(e), 50)])
	}
	want := []string{"Normal Done A is True", "Warning InvalidInput B is False: longlonglonglongl"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

func TestRaces(t *testing.T) {
	resource := schema.GroupResource{Resource: "x"}
	for _, err := range []error{
		apierrors.NewConflict(resource, "x", errors.New("changed")),
		fmt.Errorf("claim: %w", apierrors.NewConflict(resource, "x", errors.New("changed"))),
		apierrors.NewAlreadyExists(resource, "x"),
	} {
		r := newRig(t)
		result, got := r.run(t, says{"A", step.Outcome{}, err})
		if got != nil || result.RequeueAfter != step.Soon {
			t.Errorf("%v: result %v, error %v; want another pass soon", err, result, got)
		}
		if w := r.Writes(); len(w) != 0 {
			t.Errorf("%v: writes %v, want none", err, w)
		}
	}
}

// TestAnOverloadedServerGetsNoMoreToDo: what the API server has no time for is no condition, and asks for no other write.
func TestAnOverloadedServerGetsNoMoreToDo(t *testing.T) {
	for _, err := range []error{
		apierrors.NewTooManyRequests("busy", 1), apierrors.NewInternalError(errors.New("etcd has no leader")), apierrors.NewTimeoutError("slow", 1),
		apierrors.NewServiceUnavailable("away"), fmt.Errorf("write: %w", &url.Error{Op: "Patch", URL: "https://x", Err: context.DeadlineExceeded}),
	} {
		r := newRig(t)
		if _, got := r.run(t, says{"A", step.Outcome{}, err}); !errors.Is(got, err) {
			t.Errorf("%v: error %v, want it left to the queue", err, got)
		}
		if w := r.Writes(); len(w) != 0 {
			t.Errorf("%v: writes %v, want none", err, w)
		}
	}
	r := newRig(t)
	other := fault.Wrap(fault.Transient, &url.Error{Op: "Get", URL: "https://ironic", Err: context.DeadlineExceeded}, "Ironic")
	if _, err := r.run(t, says{"A", step.Outcome{}, other}); err == nil || len(r.Writes()) != 1 {
		t.Error("silence of somebody else is not told")
	}
}

func TestStatusWriteFails(t *testing.T) {
	r := newRig(t)
	r.Inject = func(string, client.Object) error { return errors.New("the API server is away") }
	if _, err := r.run(t, says{"A", step.Outcome{}, nil}); err == nil {
		t.Error("no error, want the write's")
	}
	if len(r.events) != 0 {
		t.Errorf("%d events for a change that was not written", len(r.events))
	}
	r.Inject = func(string, client.Object) error {
		return apierrors.NewNotFound(schema.GroupResource{Resource: "x"}, "n")
	}
	if result, err := r.run(t, says{"A", step.Outcome{}, nil}); err != nil || result.RequeueAfter != 0 {
		t.Errorf("result %v, error %v for an object that is gone, want nothing", result, err)
	}
}

func TestGoneAndCancelled(t *testing.T) {
	r := newRig(t)
	if result, err := r.run(t, says{"A", step.Gone(), nil}); err != nil || result.RequeueAfter != 0 {
		t.Errorf("result %v, error %v, want nothing", result, err)
	}
	if _, err := r.run(t, says{"A", step.Outcome{}, fmt.Errorf("probe: %w", context.Canceled)}); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want %v", err, context.Canceled)
	}
	if w := r.Writes(); len(w) != 0 {
		t.Errorf("writes %v, want none", w)
	}
}

func TestFinalizers(t *testing.T) {
	r := newRig(t)
	node := r.node(t)
	node.Status.DeployedHash = "only in memory"
	for range 2 {
		if err := step.AddFinalizer(t.Context(), r.API, node); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff([]string{"patch DataPlaneNode n"}, r.Writes()); diff != "" {
		t.Errorf("writes (-want +got):\n%s", diff)
	}
	if node.Status.DeployedHash == "" || node.ResourceVersion != r.node(t).ResourceVersion {
		t.Errorf("the object in memory lost its status, or does not know its new version")
	}
	stale := r.node(t)
	stale.ResourceVersion = "1"
	if err := step.RemoveFinalizer(t.Context(), r.API, stale); !apierrors.IsConflict(err) {
		t.Errorf("error %v on an old object, want a conflict", err)
	}
	if err := step.RemoveFinalizer(t.Context(), r.API, node); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"test/keep"}, r.node(t).Finalizers); diff != "" {
		t.Errorf("finalizers (-want +got):\n%s", diff)
	}
}

func TestAnswer(t *testing.T) {
	if r, err := step.Answer(step.Outcome{}, nil); r.RequeueAfter != 0 || err != nil {
		t.Errorf("%v %v, want nothing", r, err)
	}
	if r, err := step.Answer(step.Outcome{}, fault.New(fault.Busy, "locked")); r.RequeueAfter == 0 || err != nil {
		t.Errorf("%v %v, want another pass and no error", r, err)
	}
	out := step.FromError(fault.New(fault.Denied, "refused"))
	if out.IsDone() || out.Reason() != v1alpha1.ReasonDenied || out.Message() != "refused" {
		t.Errorf("%+v", out)
	}
	if out := step.FromError(nil); !out.IsDone() || out.Reason() != v1alpha1.ReasonDone {
		t.Errorf("%+v", out)
	}
}

// TestNothingRawIsShown: what a node or a service says drives no terminal, whoever reads the condition or the event.
func TestNothingRawIsShown(t *testing.T) {
	r := newRig(t)
	const hostile = "bad\x1b]0;owned\x07 \u202etxt\u200b \u009b2J http://admin:HUNTER2@bmc/\nsecond"
	if _, err := r.run(t, says{"A", step.Hold("InvalidInput", hostile), nil}); err != nil {
		t.Fatal(err)
	}
	const want = "bad ]0;owned ?txt? http://[redacted]@bmc/; second"
	for _, c := range r.node(t).Status.Conditions {
		if c.Message != want {
			t.Errorf("condition %s: %q, want %q", c.Type, c.Message, want)
		}
	}
	if event := <-r.events; !strings.HasSuffix(event, "A is False: "+want) {
		t.Errorf("event %q", event)
	}
}

// TestStatusIsOfTheObjectThatWasRead: what was seen of one object is not told of another that was made under its name in the
// meantime, nor of one that has changed; the pass is made again.
func TestStatusIsOfTheObjectThatWasRead(t *testing.T) {
	for name, change := range map[string]func(context.Context, *rig, *v1alpha1.DataPlaneNode) error{
		"made anew": func(ctx context.Context, r *rig, node *v1alpha1.DataPlaneNode) error {
			node.Finalizers = nil
			anew := &v1alpha1.DataPlaneNode{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "n", UID: "another"}}
			return errors.Join(r.Plain.Update(ctx, node), r.Plain.Delete(ctx, node), r.Plain.Create(ctx, anew))
		},
		"changed": func(ctx context.Context, r *rig, node *v1alpha1.DataPlaneNode) error {
			node.Spec.HostName = "other"
			return r.Plain.Update(ctx, node)
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			node := r.node(t)
			steps := []step.Step{{Condition: "A", Run: func(ctx context.Context) (step.Outcome, error) { return step.Outcome{}, change(ctx, r, r.node(t)) }}}
			target := step.Target{Object: node, Conditions: &node.Status.Conditions, ObservedGeneration: &node.Status.ObservedGeneration}
			loop := step.Loop{Client: r.API, Clock: r.Clock, Events: &events.FakeRecorder{Events: r.events}}
			result, err := step.Run(t.Context(), loop, target, steps)
			if err != nil || result.RequeueAfter != step.Soon {
				t.Errorf("answers %+v, %v; want another pass soon", result, err)
			}
			if got := r.node(t).Status.Conditions; len(got) > 0 || len(r.events) > 0 {
				t.Errorf("told of another object: %v, %d events", got, len(r.events))
			}
		})
	}
}

// TestGenerationThatChangesNothing: where nobody asks by which generation it was seen, a status is not written for another
// generation alone; where somebody does, it is.
func TestGenerationThatChangesNothing(t *testing.T) {
	for _, c := range []struct {
		name      string
		versioned []string
		a         step.Outcome // what A says of the next generation
		writes    int
	}{
		{"all are asked for", nil, step.Outcome{}, 1},
		{"none is", []string{}, step.Outcome{}, 0},
		{"another is", []string{"B"}, step.Outcome{}, 0},
		{"it is", []string{"A"}, step.Outcome{}, 1},
		{"it is, and is not needed", []string{"A"}, step.Pass(v1alpha1.ReasonNotNeeded, ""), 0},
		{"it says another thing", []string{}, step.Pass(v1alpha1.ReasonDone, "told"), 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t)
			loop := step.Loop{Client: r.API, Clock: r.Clock, Events: &events.FakeRecorder{Events: r.events}}
			if c.versioned != nil {
				loop.Quiet = &step.Quiet{} // what is written all the same is written at once
			}
			run := func(a step.Outcome) {
				t.Helper()
				node := r.node(t)
				target := step.Target{Object: node, Conditions: &node.Status.Conditions, ObservedGeneration: &node.Status.ObservedGeneration, Versioned: c.versioned}
				if _, err := step.Run(t.Context(), loop, target, []step.Step{{Condition: "A", Run: func(context.Context) (step.Outcome, error) { return a, nil }}}); err != nil {
					t.Fatal(err)
				}
			}
			first := step.Outcome{}
			if c.a.Reason() == v1alpha1.ReasonNotNeeded {
				first = c.a
			}
			run(first)
			node := r.node(t)
			node.Generation++
			if err := r.Plain.Update(t.Context(), node); err != nil {
				t.Fatal(err)
			}
			r.Writes()
			run(c.a)
			run(c.a)
			if w := r.Writes(); len(w) != c.writes {
				t.Errorf("writes %v, want %d", w, c.writes)
			}
			if node := r.node(t); c.writes == 1 && (node.Status.ObservedGeneration != node.Generation || node.Status.Conditions[0].ObservedGeneration != node.Generation) {
				t.Errorf("says generations %d and %d, want %d", node.Status.ObservedGeneration, node.Status.Conditions[0].ObservedGeneration, node.Generation)
			}
		})
	}
}
