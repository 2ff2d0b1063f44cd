"""Sound in and out: one backend per file behind the Source and Recorder of media."""
