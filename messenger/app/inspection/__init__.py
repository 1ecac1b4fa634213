"""What is in a file that a stranger sent: looked at in a process of its own that has little memory and little time, so
that nothing in it can stop the desk.

    inspector   the desk's side: gives bytes to the process, ends it when it takes too long
    child       the process: one file after the other
    examine     what the bytes are and what is in them
    zips, office, pdf, pictures, texts   the formats
"""
