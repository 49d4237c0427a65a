"""Make directory.db: the desks of a public library, with addresses and numbers that are for its staff."""

import sqlite3
from contextlib import closing

DESKS = [
    ("Reading room", "2nd floor", "open", "reading-room@library.example", "+44 20 7946 0101"),
    ("Interlibrary loan", "1st floor", "open", "loans@library.example", "+44 20 7946 0102"),
    ("Map room", "4th floor", "by appointment", "maps@library.example", "+44 20 7946 0103"),
    ("Acquisitions", "Annex", "staff only", "acquisitions@library.example", "+44 20 7946 0199"),
]

with closing(sqlite3.connect("directory.db")) as directory, directory:
    directory.execute("create table desks (id integer primary key, name, place, access, mail text, telephone text)")
    directory.executemany("insert into desks (name, place, access, mail, telephone) values (?, ?, ?, ?, ?)", DESKS)
