package main
func (g *guest) users(d dialect, w way) {}
func (g *guest) listings(d dialect, w way) {}
func writes(c *check, d dialect, w way) {}
func mountCommand(c *check) {}
func withoutClient(c *check) {}
func documented(c *check) {}
func (g *guest) hang(c *check) {}
func (g *guest) kill(c *check) {}
