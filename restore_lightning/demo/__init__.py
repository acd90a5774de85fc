"""A local page on which photographs are restored: `restore demo`."""
