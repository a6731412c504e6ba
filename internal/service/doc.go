// Package service is how a daemon speaks to the service manager that runs it: that it is ready,
// reloads or stops, how it is, that it is alive (sd_notify(3), sd_watchdog_enabled(3)), and how
// important a line of its log is (sd-daemon(3)). Where no service manager runs it nothing is
// said, and the log is as at a terminal.
package service
