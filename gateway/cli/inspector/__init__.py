"""`gateway inspect`: an endpoint that captures what is sent to it, and a page that shows it live.

`captures` remembers, `steps` judges signatures step by step, `app` serves both; `page.*` is what the browser gets.
"""
