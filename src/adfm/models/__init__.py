"""Model folders and hub ids in, answers out: frames per family, local and scripted models, the bundled nano."""
