"""Model folders and hub ids in, answers out: coordinate frames per family, local and scripted models, the bundled nano."""
