// Command hostile hands a mount over to a running server, as aggrfs exec does, and then
// misbehaves: "hostile SOCKET DIR DEED". It mounts below DIR, so it wants to be in a mount
// namespace of its own with the right to mount there. It says "under way" when the deed is, goes
// on until its input ends, and says on the way what it finds, a line each.
package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/aggrfs/aggrfs/internal/handover"
	"github.com/aggrfs/aggrfs/pkg/fusefs"
	"github.com/aggrfs/aggrfs/pkg/vfs"
)

// deeds are what can be done.
var deeds = map[string]func(*client) error{
	"swallow": (*client).swallow,
	"block":   (*client).block,
	"answer":  (*client).answer,
	"deaf":    (*client).deaf,
	"leave":   (*client).leave,
	"many":    (*client).many,
	"aborted": (*client).aborted,
	"garbage": (*client).garbage,
}

func main() {
	runtime.LockOSThread() // what it starts ends with this thread
	if len(os.Args) != 4 || deeds[os.Args[3]] == nil {
		fmt.Fprintln(os.Stderr, "usage: hostile SOCKET DIR DEED")
		os.Exit(2)
	}
	c := &client{socket: os.Args[1], dir: os.Args[2]}
	if err := deeds[os.Args[3]](c); err != nil {
		fmt.Fprintln(os.Stderr, "hostile:", err)
		os.Exit(1)
	}
	fmt.Println("under way")
	_, _ = io.Copy(io.Discard, os.Stdin)
}

type client struct{ socket, dir string }

// mount mounts a new device on a directory of that name.
func (c *client) mount(name string) (dev *os.File, dir string, err error) {
	dir = filepath.Join(c.dir, name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, "", err
	}
	if dev, err = fusefs.OpenDevice(); err != nil {
		return nil, "", err
	}
	if err := fusefs.MountAt(dir, int(dev.Fd()), fusefs.Config{Owner: vfs.Identity{UID: 0, GID: 0}}); err != nil {
		dev.Close()
		return nil, "", err
	}
	return dev, dir, nil
}

// give hands a device over.
func (c *client) give(dev *os.File, o handover.Offer) (*handover.Given, *net.UnixConn, error) {
	conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: c.socket, Net: "unix"})
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	o.Native = "/proc"
	g, err := handover.Give(ctx, conn, dev, o)
	return g, conn, err
}

// served mounts, hands over, and takes part in the conversation.
func (c *client) served(name string) (dev *os.File, dir string, conn *net.UnixConn, err error) {
	dev, dir, err = c.mount(name)
	if err != nil {
		return nil, "", nil, err
	}
	g, conn, err := c.give(dev, handover.Offer{})
	if err != nil {
		return nil, "", nil, err
	}
	go g.Serve(ignore)
	select {
	case <-g.Greeted():
	case <-time.After(time.Minute):
		err = errors.New("the server does not answer the kernel")
	}
	return dev, dir, conn, err
}

// ignore is in place of writing a notification. Written, it could wait for a request that this
// program has taken, and the program with it for ever, since it keeps the device open.
func ignore([]byte) error { return nil }

// read has processes read a mount, again and again until its root is an error; they are without the device, and end when
// this one does and the kernel lets them.
func read(dir string, processes int) error {
	const script = `while ls -l "$0"; do cat "$0"/*/stat "$0"/cluster/nodes; ls "$0"/1*/task; done >/dev/null 2>&1`
	for range processes {
		cmd := exec.Command("sh", "-c", script, dir)
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		if err := cmd.Start(); err != nil {
			return err
		}
	}
	return nil
}

const readers = 6

// take reads requests that were for the server.
func take(dev *os.File, each func(n int, request []byte)) {
	buf := make([]byte, 1<<20)
	for n := 0; ; {
		got, err := unix.Read(int(dev.Fd()), buf)
		switch {
		case err == nil:
			n++
			each(n, buf[:got])
		case errors.Is(err, unix.ENODEV):
			return
		default:
			time.Sleep(100 * time.Microsecond)
		}
	}
}

// swallow takes requests and never answers one in twenty, and the others with EIO.
func (c *client) swallow() error {
	dev, dir, _, err := c.served("swallow")
	if err != nil {
		return err
	}
	go take(dev, func(n int, request []byte) {
		if n%20 != 0 {
			reply(dev, request, -int32(unix.EIO), nil)
		}
	})
	go func() {
		for range 10 { // those before wait for what was swallowed
			_ = read(dir, readers)
			time.Sleep(300 * time.Millisecond)
		}
	}()
	return nil
}

// block makes the device block, over and over.
func (c *client) block() error {
	dev, dir, _, err := c.served("block")
	if err != nil {
		return err
	}
	go func() {
		for {
			_ = unix.SetNonblock(int(dev.Fd()), false)
			runtime.Gosched()
		}
	}()
	return read(dir, readers)
}

// answer answers requests itself: with what is none, with what is too long, and with content
// of its own.
func (c *client) answer() error {
	dev, dir, _, err := c.served("answer")
	if err != nil {
		return err
	}
	go take(dev, func(n int, request []byte) {
		body := make([]byte, rand.IntN(200))
		for i := range body {
			body[i] = byte(rand.Uint32())
		}
		reply(dev, request, []int32{0, -int32(unix.ENOENT), -int32(unix.EIO), 7, -5000}[n%5], body)
		reply(dev, request, 0, nil) // once more
		reply(dev, request, -int32(unix.EIO), nil)
	})
	return read(dir, readers)
}

// reply writes an answer to a request, whatever the kernel says to it.
func reply(dev *os.File, request []byte, status int32, body []byte) {
	if len(request) < 16 {
		return
	}
	out := binary.NativeEndian.AppendUint32(nil, uint32(16+len(body)))
	out = binary.NativeEndian.AppendUint32(out, uint32(status))
	out = append(out, request[8:16]...)
	_, _ = unix.Write(int(dev.Fd()), append(out, body...))
}

// deaf never reads what the server says, and causes notifications.
func (c *client) deaf() error {
	for _, o := range []handover.Offer{{}, {Prefetched: true}} {
		dev, dir, err := c.mount(fmt.Sprint("deaf", o.Prefetched))
		if err != nil {
			return err
		}
		g, _, err := c.give(dev, o)
		if err != nil {
			return err
		}
		go func() {
			time.Sleep(time.Hour)
			runtime.KeepAlive(g)
			runtime.KeepAlive(dev)
		}()
		if err := read(dir, readers/2); err != nil {
			return err
		}
	}
	return nil
}

// leave ends in the middle, in different ways.
func (c *client) leave() error {
	for n := range 40 {
		dev, dir, err := c.mount(fmt.Sprint("leave", n))
		if err != nil {
			return err
		}
		if n%5 == 0 { // of the offer itself
			conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: c.socket, Net: "unix"})
			if err != nil {
				return err
			}
			_, _, err = conn.WriteMsgUnix([]byte(handover.Magic+"\x00"), unix.UnixRights(int(dev.Fd())), nil)
			if err != nil {
				return err
			}
			conn.Close()
			dev.Close()
			continue
		}
		g, conn, err := c.give(dev, handover.Offer{Prefetched: n%2 == 0})
		if err != nil {
			return err
		}
		go g.Serve(ignore)
		if err := read(dir, 1); err != nil {
			return err
		}
		time.Sleep(time.Duration(rand.IntN(30)) * time.Millisecond)
		switch n % 5 {
		case 1:
			conn.Close()
		case 2:
			if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
				return err
			}
		case 3:
			dev.Close()
			conn.Close()
		case 4:
			_ = conn.CloseWrite()
		}
		time.Sleep(time.Duration(rand.IntN(30)) * time.Millisecond)
		dev.Close()
		conn.Close()
	}
	return nil
}

// many hands over more mounts than one user may have.
func (c *client) many() error {
	for n := range 65 {
		dev, _, err := c.mount(fmt.Sprint("many", n))
		if err != nil {
			return err
		}
		g, _, err := c.give(dev, handover.Offer{})
		var refused *handover.Refusal
		switch {
		case errors.As(err, &refused):
			fmt.Printf("mount %d: %s\n", n+1, refused.Errno.Error())
			dev.Close()
		case err != nil:
			return err
		default:
			go g.Serve(ignore)
		}
	}
	return nil
}

// aborted hands over a device whose mount has gone, and waits until it is not served.
func (c *client) aborted() error {
	dev, dir, err := c.mount("aborted")
	if err != nil {
		return err
	}
	if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
		return err
	}
	g, _, err := c.give(dev, handover.Offer{})
	if errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	if err == nil {
		_ = g.Serve(ignore) // until the server has found it out
	}
	return dev.Close()
}

// garbage sends nonsense after an offer was taken.
func (c *client) garbage() error {
	for n := range 10 {
		dev, _, conn, err := c.served(fmt.Sprint("garbage", n))
		if err != nil {
			return err
		}
		noise := make([]byte, 1+rand.IntN(4096))
		for i := range noise {
			noise[i] = byte(rand.Uint32())
		}
		noise[0] |= 1 // no message is so long, or it is one of no kind
		_, _ = conn.Write(append(binary.LittleEndian.AppendUint32(nil, uint32(1+rand.IntN(1<<31))), noise...))
		defer dev.Close()
		defer conn.Close()
	}
	return nil
}
