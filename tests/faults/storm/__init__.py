"""The real server in bad weather: a chaos upstream in a process of its own, load that counts outcomes, vital signs."""
