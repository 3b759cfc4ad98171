package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// ticksPerSecond is USER_HZ, in which Linux tells the times of /proc/PID/stat (proc_pid_stat(5)).
const ticksPerSecond = 100

// childrenTime is the processor time in seconds of all living children of this process; those of them that end are forgotten.
func childrenTime() float64 {
	lists, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", os.Getpid()))
	if err != nil {
		return 0
	}
	var ticks int64
	for _, list := range lists {
		pids, err := os.ReadFile(list) // a thread may have ended
		if err != nil {
			continue
		}
		for pid := range strings.FieldsSeq(string(pids)) {
			ticks += ticksOf(pid)
		}
	}
	return float64(ticks) / ticksPerSecond
}

// ticksOf is utime and stime of a process; 0 when it has ended.
func ticksOf(pid string) int64 {
	stat, err := os.ReadFile(filepath.Join("/proc", pid, "stat"))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	fields := strings.Fields(rest) // from the third field of the page on
	if len(fields) < 13 {
		return 0
	}
	user, err := strconv.ParseInt(fields[11], 10, 64)
	if err != nil {
		return 0
	}
	system, err := strconv.ParseInt(fields[12], 10, 64)
	if err != nil {
		return 0
	}
	return user + system
}
