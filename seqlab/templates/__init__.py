"""The files that ``seqlab new`` writes: NAME stands for the name that the user gives, CLASS for the class's name."""
