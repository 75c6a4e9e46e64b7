#!/bin/sh
# A service that runs until its standard input ends.
echo "$@"
exec cat
