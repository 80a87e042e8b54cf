# The frame of every Varnish in the lab: one process in the foreground.
vcl 4.1;
@MAIN@

@CASE@
