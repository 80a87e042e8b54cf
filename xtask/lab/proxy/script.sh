# The frame of every other proxy in the lab: shell lines that start it.
set -eu
@MAIN@

@CASE@
