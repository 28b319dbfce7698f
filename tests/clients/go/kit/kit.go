// Package kit is how the Go programs report: one line per case, read by tests/harness/suite.py.
package kit

import (
	"fmt"
	"os"
	"reflect"
	"runtime"
	"strings"
	"time"
)

// Base is recent: retention would take older records away while the test runs.
var Base = time.Now().Add(-time.Hour).Truncate(time.Millisecond)

var failed bool

type failure struct {
	what string
	line int
}

// Case runs one case; a failure is reported and the program goes on.
func Case(name string, body func()) {
	began := time.Now()
	defer func() {
		switch problem := recover().(type) {
		case nil:
			fmt.Printf("ok %s (%.1f s)\n", name, time.Since(began).Seconds())
		case failure:
			failed = true
			fmt.Printf("not ok %s -- %s (line %d)\n", name, strings.Join(strings.Fields(problem.what), " "), problem.line)
		default:
			panic(problem)
		}
	}()
	body()
}

// Finish ends the program with the exit code of its cases.
func Finish() {
	if failed {
		os.Exit(1)
	}
}

func fail(format string, arguments ...any) {
	line := 0
	for depth := 2; depth < 12; depth++ { // the first frame outside of this file
		_, file, at, ok := runtime.Caller(depth)
		if ok && !strings.HasSuffix(file, "kit.go") {
			line = at
			break
		}
	}
	panic(failure{fmt.Sprintf(format, arguments...), line})
}

// OK fails the case on an error.
func OK(err error) {
	if err != nil {
		fail("%T: %v", err, err)
	}
}

// Must is the value of a call that must not fail.
func Must[T any](value T, err error) T {
	if err != nil {
		fail("%T: %v", err, err)
	}
	return value
}

// Check fails the case when the condition does not hold.
func Check(condition bool, format string, arguments ...any) {
	if !condition {
		fail(format, arguments...)
	}
}

// Equal fails the case when the two differ.
func Equal(found, expected any, what string) {
	if !reflect.DeepEqual(found, expected) {
		fail("%s: expected %.300s, found %.300s", what, fmt.Sprint(expected), fmt.Sprint(found))
	}
}

// WaitUntil polls, because another process decides when.
func WaitUntil(condition func() bool, what string) {
	for end := time.Now().Add(150 * time.Second); !condition(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			fail("waited 150 s for %s", what)
		}
	}
}
