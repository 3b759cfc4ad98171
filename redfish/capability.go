// Package redfish is what can be asked of a server's BMC over Redfish, by capability, through gofish and one broker per BMC.
// Nothing a BMC answers is taken for proof: what matters is read back. What a BMC lacks is fault.Unsupported.
package redfish

import (
	"context"

	"github.com/rackplane/rackplane/redfish/parts"
)

// State is how far a change has come.
type State string

const (
	// Complete means that it is done, and was read back where it can be.
	Complete State = "Complete"
	// Accepted means that the BMC works on it; follow the receipt, or read again when there is none.
	Accepted State = "Accepted"
	// Blocked means that nothing was sent, and what must be so first.
	Blocked State = "Blocked"
)

// Result is what came of a change that was asked for.
type Result struct {
	State State
	// Receipt is the Redfish Task to follow; empty when the BMC gave none.
	Receipt string
	// Need is what a blocked change waits for.
	Need string
}

// Action is what is done to a server's power.
type Action string

const (
	// On switches on a server that is off.
	On Action = "On"
	// Off takes the power away.
	Off Action = "Off"
	// SoftOff asks the operating system to shut down; it may never.
	SoftOff Action = "SoftOff"
	// Restart resets a server that is on.
	Restart Action = "Restart"
)

// Power switches a server.
type Power interface {
	// Power reads the state as Redfish has it: On, Off, PoweringOn, PoweringOff, Paused.
	Power(ctx context.Context) (string, error)
	// SetPower is idempotent but for Restart: a server that is as wanted is left alone. Complete means that the state was read
	// back; Accepted that the BMC has taken it: read Power until it is so.
	SetPower(ctx context.Context, a Action) (Result, error)
	// Follow reads what has become of a receipt. A task that failed is an error with the BMC's words.
	Follow(ctx context.Context, receipt string) (Result, error)
}

// Override is what the server boots instead of its first disk.
type Override struct {
	// Target is Redfish's: Pxe, Cd, Hdd, UefiHttp, None and so on; None means no override.
	Target string
	// Enabled is Disabled, Once or Continuous; Mode is UEFI, Legacy or empty.
	Enabled, Mode string
}

// Boot chooses what a server boots.
type Boot interface {
	// Override reads what is set now.
	Override(ctx context.Context) (Override, error)
	// SetOverride sets it and reads it back. fault.Unsupported when the BMC does not know the target. After an error it may be
	// set or not: some BMCs refuse and change all the same.
	SetOverride(ctx context.Context, o Override) (Result, error)
	// KeepsOnce reports whether an override for one boot stays after it, so that somebody must clear it.
	KeepsOnce(ctx context.Context) (bool, error)
}

// Medium is a virtual CD drive.
type Medium struct {
	Image    string
	Inserted bool
}

// Media inserts images into a server's virtual CD drive.
type Media interface {
	// Medium reads what is in the drive.
	Medium(ctx context.Context) (Medium, error)
	// Insert puts an image in, and takes out what was there. Complete means that image and state were read back. After an error
	// nothing is known, whatever the drive reads: eject first.
	Insert(ctx context.Context, image string) (Result, error)
	// Eject empties the drive; an empty one is left alone.
	Eject(ctx context.Context) (Result, error)
}

// Inspector tells what a server is made of.
type Inspector interface {
	// Inventory walks the tree once, powered off or on. What cannot be had is a gap in it; an error means that not even the
	// system could be read.
	Inventory(ctx context.Context) (parts.Inventory, error)
}

// Condition is how a server is doing.
type Condition struct {
	// Health is the worst of all parts: OK, Warning, Critical; empty when the BMC does not say.
	Health string
	// Power as in Power.
	Power string
}

// Health tells how a server is doing, with one request.
type Health interface {
	Condition(ctx context.Context) (Condition, error)
}
