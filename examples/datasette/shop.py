"""Make shop.db: what a shop for sheet music sells, with prices in euros."""

import sqlite3
from contextlib import closing

COMPOSERS = ["Bach", "Brahms", "Dvořák", "Fauré", "Haydn", "Mozart", "Schubert", "Smetana"]
FORMS = [("Sonata", 1450), ("String quartet", 2890), ("Trio", 2275), ("Song book", 1995), ("Études", 1260)]

with closing(sqlite3.connect("shop.db")) as shop, shop:
    shop.execute("create table products (id integer primary key, title text, price_eur real)")
    titles = [
        (f"{composer}: {form}, book {book}", (cents + 35 * book) / 100)
        for composer in COMPOSERS
        for form, cents in FORMS
        for book in range(1, 6)
    ]
    shop.executemany("insert into products (title, price_eur) values (?, ?)", titles)
