"""How simclinic is made: latents, radiographs, ECGs, laboratory values, reports. Everything is simulated."""
