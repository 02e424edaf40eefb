"""What Overnight remembers: runs, snapshots, checkpoints, evaluations, releases, promotions and champions."""
