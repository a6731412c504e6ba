package handover

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/aggrfs/aggrfs/test/wait"
)

// pair is a connection of a daemon and a command.
func pair(t *testing.T) (daemon, command *net.UnixConn) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	var conns [2]*net.UnixConn
	for i, fd := range fds {
		f := os.NewFile(uintptr(fd), "socket")
		c, err := net.FileConn(f)
		f.Close()
		if err != nil {
			t.Fatal(err)
		}
		conns[i] = c.(*net.UnixConn)
		t.Cleanup(func() { c.Close() })
	}
	return conns[0], conns[1]
}

// openFuse opens the device, and leaves it unmounted.
func openFuse(t *testing.T) *os.File {
	t.Helper()
	fd, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fd), "/dev/fuse")
	t.Cleanup(func() { f.Close() })
	return f
}

// mounted is a device that is mounted, and that nobody answers for.
func mounted(t *testing.T) *os.File {
	t.Helper()
	dev, dir := openFuse(t), t.TempDir()
	conn, err := dev.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var mountErr error
	err = conn.Control(func(fd uintptr) {
		mountErr = unix.Mount("test", dir, "fuse.test", unix.MS_RDONLY|unix.MS_NOSUID|unix.MS_NODEV, "fd="+itoa(fd)+",rootmode=40000,user_id=0,group_id=0")
	})
	if err = errors.Join(err, mountErr); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW) })
	return dev
}

func itoa(fd uintptr) string {
	if fd < 10 {
		return string(rune('0' + fd))
	}
	return itoa(fd/10) + itoa(fd%10)
}

// descriptorsOpen counts those of this process.
func descriptorsOpen(t *testing.T) int {
	t.Helper()
	all, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(all)
}

// send sends bytes with descriptors, as a command would that is none of ours.
func send(t *testing.T, conn *net.UnixConn, text string, files ...*os.File) {
	t.Helper()
	var fds []int
	for _, f := range files {
		fds = append(fds, int(f.Fd()))
	}
	var oob []byte
	if len(fds) > 0 {
		oob = unix.UnixRights(fds...)
	}
	if _, _, err := conn.WriteMsgUnix([]byte(text), oob, nil); err != nil {
		t.Fatal(err)
	}
}

// What is no offer of one mounted FUSE device is refused, and no descriptor of it stays.
func TestRefused(t *testing.T) {
	fuse, unmounted := mounted(t), openFuse(t)
	null, err := os.OpenFile("/dev/null", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	file, err := os.Create(filepath.Join(t.TempDir(), "fuse"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	path, err := unix.Open("/dev/fuse", unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	byPath := os.NewFile(uintptr(path), "path")
	defer byPath.Close()
	readOnly, err := os.OpenFile("/dev/fuse", os.O_RDONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer readOnly.Close()
	blocking := openFuse(t)
	const syncInit = 0xE503 // FUSE_DEV_IOC_SYNC_INIT, since Linux 6.18: who reads or polls it waits
	_, _, _ = unix.Syscall(unix.SYS_IOCTL, blocking.Fd(), syncInit, 0)
	offer := Magic + string(frameJSON(kindOffer, Offer{Native: "/proc"}))
	for _, tc := range []struct {
		name, text string
		files      []*os.File
		want       string
	}{
		{"no descriptor", offer, nil, "0 descriptors"},
		{"two", offer, []*os.File{fuse, fuse}, "2 descriptors"},
		{"forty", offer, forty(fuse), "descriptors"},
		{"another device", offer, []*os.File{null}, "is not /dev/fuse"},
		{"a file of that name", offer, []*os.File{file}, "is not /dev/fuse"},
		{"a path", offer, []*os.File{byPath}, "is not open"},
		{"read-only", offer, []*os.File{readOnly}, "is not open"},
		{"not mounted", offer, []*os.File{unmounted}, "is not mounted"},
		{"not mounted, and whoever reads it waits", offer, []*os.File{blocking}, "is not mounted"},
		{"another beginning", "aggrfs-mount/9\n" + offer[len(Magic):], []*os.File{fuse}, "begins with"},
		{"another kind", Magic + string(frame(kindPing)), []*os.File{fuse}, "in place of an offer"},
		{"no JSON", Magic + string(frame(kindOffer, []byte("{"))), []*os.File{fuse}, "the offer of a mount"},
		{"too long", Magic + "\xff\xff\xff\x7fo", []*os.File{fuse}, "at most"},
		{"no length", Magic + "\x00\x00\x00\x00o", []*os.File{fuse}, "0 bytes"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			daemon, command := pair(t)
			before := descriptorsOpen(t)
			send(t, command, tc.text, tc.files...)
			h, err := Take(daemon)
			if err == nil {
				h.Device.Close()
				t.Fatal("it is taken")
			}
			if !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%v: %q is not in it", err, tc.want)
			}
			if after := descriptorsOpen(t); after != before {
				t.Errorf("%d descriptors were open, and %d are", before, after)
			}
		})
	}
	t.Run("cut short", func(t *testing.T) {
		daemon, command := pair(t)
		send(t, command, offer[:len(offer)-1], fuse)
		command.Close()
		if _, err := Take(daemon); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Error(err)
		}
	})
}

func forty(f *os.File) (all []*os.File) {
	for range 40 {
		all = append(all, f)
	}
	return all
}

// taken is an offer that was given and taken.
func taken(t *testing.T, o Offer) (*Taken, *Given) {
	t.Helper()
	daemon, command := pair(t)
	fuse := mounted(t)
	type given struct {
		g   *Given
		err error
	}
	done := make(chan given, 1)
	go func() {
		g, err := Give(t.Context(), command, fuse, o)
		done <- given{g, err}
	}()
	h, err := Take(daemon)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Device.Close() })
	h.Ready(Ready{Patience: 3 * time.Second})
	stop := make(chan struct{})
	served := make(chan error, 1)
	go func() { served <- h.Serve(stop) }()
	t.Cleanup(func() {
		close(stop)
		if err := <-served; err != nil && !errors.Is(err, errSlow) {
			t.Error(err)
		}
	})
	got := <-done
	if got.err != nil {
		t.Fatal(got.err)
	}
	return h, got.g
}

// An offer arrives whole, and what both say to each other afterwards.
func TestConversation(t *testing.T) {
	want := Offer{Path: "/sets/n[1-3]", Native: "/run/aside", Prefetched: true, CPUs: []int{1}, Generation: 3, Init: []byte("init")}
	h, g := taken(t, want)
	if h.Offer.Path != want.Path || h.Offer.Native != want.Native || !h.Offer.Prefetched || h.Offer.Generation != 3 || string(h.Offer.Init) != "init" {
		t.Errorf("%+v", h.Offer)
	}
	if g.Ready.Patience != 3*time.Second {
		t.Errorf("%+v", g.Ready)
	}
	var written []string
	over := make(chan error, 1)
	go func() {
		over <- g.Serve(func(message []byte) error {
			written = append(written, string(message))
			if string(message) == "b" {
				return syscall.ENOENT
			}
			return nil
		})
	}()
	h.Init([]byte("hello"))
	<-g.Greeted()
	if string(g.Init()) != "hello" {
		t.Errorf("INIT is %q", g.Init())
	}
	results := make(chan error, 3)
	for _, m := range []string{"a", "b", "c"} {
		h.Notify([]byte(m), func(err error) { results <- err })
	}
	for _, want := range []error{nil, syscall.ENOENT, nil} {
		if got := <-results; got != want {
			t.Errorf("%v, want %v", got, want)
		}
	}
	if strings.Join(written, "") != "abc" {
		t.Errorf("written is %v", written)
	}
	g.Close()
	if err := <-over; err == nil {
		t.Error("a closed conversation goes on")
	}
	wait.Until(t, "the daemon notices", func() bool {
		failed := make(chan error, 1)
		h.Notify([]byte("d"), func(err error) { failed <- err })
		return <-failed != nil
	})
}

// A refusal comes with its errno.
func TestRefusal(t *testing.T) {
	daemon, command := pair(t)
	fuse := mounted(t)
	go func() {
		if h, err := Take(daemon); err == nil {
			h.Refuse(&os.PathError{Op: "mount", Path: "/x", Err: syscall.EPERM})
			h.Device.Close()
		}
	}()
	_, err := Give(t.Context(), command, fuse, Offer{Native: "/proc"})
	var refusal *Refusal
	if !errors.As(err, &refusal) || !errors.Is(err, syscall.EPERM) || refusal.Text != "mount /x: operation not permitted" {
		t.Errorf("%v", err)
	}
}

// A daemon that takes an offer and says nothing, or hangs up, is an error in time.
func TestSilentDaemon(t *testing.T) {
	fuse := mounted(t)
	_, command := pair(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer time.AfterFunc(20*time.Millisecond, cancel).Stop()
	if _, err := Give(ctx, command, fuse, Offer{}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	daemon, command := pair(t)
	daemon.Close()
	if _, err := Give(t.Context(), command, fuse, Offer{}); err == nil {
		t.Error("a daemon that hung up has taken it")
	}
}

// A command that takes nothing does not make the daemon hold ever more.
func TestSlowCommand(t *testing.T) {
	h, _ := taken(t, Offer{Native: "/proc"})
	message := make([]byte, 64<<10)
	failed := make(chan error, 1)
	for range 2 * maxQueued / len(message) {
		h.Notify(message, func(err error) {
			select {
			case failed <- err:
			default:
			}
		})
	}
	if err := <-failed; err == nil {
		t.Error("what the command did not take has arrived")
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.queued > maxQueued+2*len(message) {
		t.Errorf("%d bytes wait", h.queued)
	}
}

// FuzzTake: whatever comes with a descriptor is an offer or an error.
func FuzzTake(f *testing.F) {
	f.Add([]byte(Magic + string(frameJSON(kindOffer, Offer{Native: "/proc", CPUs: []int{-1, 1 << 30}}))))
	f.Add([]byte(Magic + "\x01\x00\x00\x00o"))
	f.Fuzz(func(t *testing.T, text []byte) {
		h := &Taken{}
		if err := h.takeOffer(strings.NewReader(string(text))); err == nil && len(text) > len(Magic)+headSize+maxOffer {
			t.Errorf("an offer of %d bytes", len(text))
		}
	})
}
