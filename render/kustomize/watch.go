package kustomize

import (
	"os"
	"runtime/metrics"
	"syscall"
	"time"
)

// Exit codes of a child that does not come to its end. Those of watch tell a limit; a failure is 1.
const (
	exitCrash  = 2 // Go's own
	exitMemory = 3
	exitTime   = 4
)

// watchEvery is the time between two looks of a child at itself.
const watchEvery = 5 * time.Millisecond

// watch ends the process when it has used more than it may. The kernel's limits alone do not do: Go crashes in a dozen
// different ways where it gets no memory, and most of them do not say why.
func watch(l Limits) {
	for range time.Tick(watchEvery) {
		if memoryUsed() > l.MemoryBytes {
			os.Exit(exitMemory)
		}
		if used, err := cpuUsed(); err == nil && used > l.Time {
			os.Exit(exitTime)
		}
	}
}

// memoryUsed is what GOMEMLIMIT counts too: all that Go has from the kernel and has not given back.
func memoryUsed() int64 {
	sample := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(sample)
	return int64(sample[0].Value.Uint64()) - int64(sample[1].Value.Uint64())
}

func cpuUsed() (time.Duration, error) {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0, err
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), nil
}
