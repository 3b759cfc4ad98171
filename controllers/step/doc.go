// Package step runs a pass over an object as a list of small steps.
//
// A step answers with an Outcome: done, Waiting, Later, Hold, Lost, Pending or
// Gone, or with an error whose fault kind says what it means. This package alone turns
// that into conditions and a ctrl.Result, and patches the status: once per
// pass, and only when something in it changed. With a Quiet, what nobody decides
// by (a text, one wait after another) waits up to Hush to be written with other
// news.
//
// Conditions are what a pass saw. A step that was reached sets its own; one
// that was not reached keeps what it last saw, unless an earlier step answered
// Lost: then what it saw speaks of something that is gone, and it is removed.
// Ready is False with the first reason that is in the way, else True.
// The time a condition changed its status moves only when the status does.
package step
