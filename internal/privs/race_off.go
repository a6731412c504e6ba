//go:build !race

package privs

// raceDetector tells whether the program has been built with it.
const raceDetector = false
