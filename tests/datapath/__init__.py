"""The filter in the kernel against a model in Python, by BPF_PROG_TEST_RUN and by real interfaces."""
