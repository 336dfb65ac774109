"""Model folders and hub ids in, answers out: frames per family, local models, the bundled nano."""
