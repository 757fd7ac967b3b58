"""Has the code of a body changed?"""
