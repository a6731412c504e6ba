package main

func mountCommand(c *check)  {}
func withoutClient(c *check) {}
func documented(c *check)    {}
