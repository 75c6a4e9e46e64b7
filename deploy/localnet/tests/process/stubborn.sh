#!/bin/sh
# A service that does not end on SIGTERM.
trap "" TERM
echo ready
cat
