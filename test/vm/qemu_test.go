//go:build vm

package vm

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

const qemu = "qemu-system-x86_64"

// accelerator is how qemu runs the guest: by the processor where it can do that,
// or instruction by instruction. That /dev/kvm can be opened is not enough: it is
// there in virtual machines whose processor cannot.
//
// Without KVM the guest's clock counts its instructions, 2 ns each, and leaps when
// it idles: how long things take in there does not depend on how busy this machine
// is, and waiting takes no time.
func accelerator() []string {
	cpu, err := os.ReadFile("/proc/cpuinfo")
	able := err == nil && (bytes.Contains(cpu, []byte(" vmx ")) || bytes.Contains(cpu, []byte(" svm ")))
	if f, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0); err == nil {
		f.Close()
		if able {
			return []string{"-accel", "kvm", "-cpu", "host"}
		}
	}
	return []string{"-accel", "tcg,tb-size=512", "-icount", "shift=1,sleep=off", "-cpu", "max"}
}

// boot runs the machine until it switches itself off, or until ctx ends. What its
// serial console shows goes to a file. The machine has no network and no disk, and
// the kernel is started without firmware (PVH), for which it must be uncompressed.
func boot(ctx context.Context, kernel, image, console string) error {
	args := append(accelerator(),
		"-M", "microvm,acpi=off", "-m", "768",
		"-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-nic", "none",
		"-kernel", kernel, "-initrd", image, "-serial", "file:"+console,
		"-append", "console=ttyS0 loglevel=1 tsc=reliable panic=-1 reboot=t rdinit=/init")
	cmd := exec.CommandContext(ctx, qemu, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	cmd.WaitDelay = 10 * time.Second
	out, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		return fmt.Errorf("switched off after %v", deadline)
	}
	if err != nil {
		return fmt.Errorf("%v: %w: %s", strings.Join(cmd.Args, " "), err, out)
	}
	return nil
}
