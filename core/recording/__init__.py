"""An app's side of Overnight: what its agent decided and what came of it, recorded so that nothing is lost."""
