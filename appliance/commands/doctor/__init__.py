"""`appliance doctor`: each thing that must hold on this machine, with a tick or what to do."""
