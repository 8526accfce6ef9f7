"""`appliance bench`: what this box can do with its model, measured on the path that frames of cameras take."""
