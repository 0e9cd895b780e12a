"""The command line, `longthought`: over the gateway's API; `longthought up` starts everything on one machine."""
