-- What an answer cost in US dollars, where the price is known; NULL for tapes of before.
ALTER TABLE tapes ADD COLUMN cost_usd REAL;
