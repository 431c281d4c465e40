"""What a user of PyTorch would write instead of fewstep: the same networks and training steps, to compare speed with."""
