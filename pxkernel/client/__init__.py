"""What a user's process does: connect, submit, wait.

- ``locate``      which cluster a Client is meant to connect to
- ``connection``  one background thread with the one socket
- ``client``      Client: the engines of a cluster, indexed like a list
- ``jobs``        calls by their ids, indices and futures, and waiting for them
- ``viewbase``    View: flags, apply, map and waiting, as all views have them
- ``views``       how a Client makes views: rc[0], rc[:], direct_view
- ``view``        DirectView: apply, execute, push, pull, scatter, gather, map
- ``imports``     sync_imports: import statements that happen on the engines too
- ``remotefunction`` @remote and @parallel: functions that run on engines when they are called
- ``balanced``    LoadBalancedView: each call goes to one engine, to that with the least to do
- ``dependency``  Dependency: the calls that another one waits for
- ``asyncresult`` AsyncResult: the future of a call on several engines
- ``arrivals``    the half of it to which the I/O thread delivers
- ``about``       what is known of it: metadata, output, times (``timing``)
- ``display``     its output, shown while it comes or once more
- ``executor``    ViewExecutor: a view as concurrent.futures.Executor
- ``hints``       what the user may want to know about an error of an engine
- ``shell``       how IPython shows the errors of engines
- ``mapresult``   AsyncMapResult: the future of a map or of a gather
- ``tracking``    SendTracker: when arrays that were sent without a copy may be changed
- ``records``     what is known of one call on one engine: Metadata, ExecuteReply
- ``inspection``  rc.top() and rc.stacks()
- ``stopping``    what Ctrl-C does to a call that blocks
- ``progress``    a bar that counts what is done of a call
- ``prompts``     answers to what running code asks its user
- ``cellscreen``  the output of a call that nobody waits for, in the cell that made it
- ``outputs``     showing what engines print and display, labelled with the engine
"""
